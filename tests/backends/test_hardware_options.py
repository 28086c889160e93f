"""Options of a hardware run: what they allow, and what IBM's estimator makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit_ibm_runtime.executor_estimator.finalize_options import finalize_estimator_options

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.their_options import estimator_options, learner_options
from backends.ibm.waits import Waits
from backends.names import parse_name

PEA = {"resilience": 2, "zne_amplifier": "pea"}


def finalized(**options: Any) -> dict[str, Any]:
    return finalize_estimator_options(estimator_options(HardwareOptions(**options), ["tag"], 77)).model_dump()


def test_the_estimator_is_told_every_option() -> None:
    theirs = finalized(
        shots=640,
        resilience=0,
        dynamical_decoupling="XY4",
        twirl_gates=True,
        twirl_measure=True,
        measure_mitigation=True,
    )
    assert (theirs["default_shots"], theirs["resilience_level"], theirs["max_execution_time"]) == (640, 0, 77)
    assert (theirs["dynamical_decoupling"]["enable"], theirs["dynamical_decoupling"]["sequence_type"]) == (True, "XY4")
    twirling = theirs["twirling"]
    assert (twirling["enable_gates"], twirling["enable_measure"]) == (True, True)
    assert (twirling["num_randomizations"], twirling["shots_per_randomization"]) == (32, 20)
    assert theirs["resilience"]["measure_mitigation"] is True
    assert theirs["environment"]["job_tags"] == ["tag"]


def test_the_estimator_is_told_how_to_twirl_extrapolate_and_decouple() -> None:
    theirs = finalized(
        shots=640,
        resilience=2,
        dynamical_decoupling="XX",
        dd_schedule="asap",
        randomizations=64,
        twirl_strategy="all",
        zne_factors=(1, 1.5, 2),
        zne_extrapolator=("polynomial_degree_2", "linear"),
        zne_amplifier="gate_folding_back",
    )
    twirling, zne = theirs["twirling"], theirs["resilience"]["zne"]
    assert (twirling["num_randomizations"], twirling["shots_per_randomization"]) == (64, 10)
    assert twirling["strategy"] == "all"
    assert tuple(zne["noise_factors"]) == (1, 1.5, 2)
    assert tuple(zne["extrapolator"]) == ("polynomial_degree_2", "linear")
    assert zne["amplifier"] == "gate_folding_back"
    assert theirs["dynamical_decoupling"]["scheduling_method"] == "asap"


@pytest.mark.parametrize(
    ("resilience", "gates", "measure", "mitigation", "zne"),
    [(0, False, False, False, False), (1, False, True, True, False), (2, True, True, True, True)],
)
def test_what_is_not_said_is_what_the_level_does(
    resilience: int, gates: bool, measure: bool, mitigation: bool, zne: bool
) -> None:
    theirs = finalized(resilience=resilience)
    options = HardwareOptions(resilience=resilience)
    assert (theirs["twirling"]["enable_gates"], theirs["twirling"]["enable_measure"]) == (gates, measure)
    assert theirs["resilience"]["measure_mitigation"] == mitigation == options.mitigates_readout
    assert theirs["resilience"]["zne_mitigation"] == zne == (len(options.noise_factors) > 1)
    assert (options.twirls > 1) == (gates or measure)


def test_the_estimator_is_told_to_cancel_or_amplify_noise_and_twirls_for_it() -> None:
    cancelled = finalized(pec=True, resilience=0, pec_overhead=3.0)
    assert cancelled["resilience"]["pec_mitigation"] is True
    assert cancelled["resilience"]["pec"] == {"max_overhead": 3.0, "noise_gain": "auto"}
    amplified = finalized(**PEA)
    assert amplified["resilience"]["zne"]["amplifier"] == "pea"
    for theirs, options in ((cancelled, HardwareOptions(pec=True, resilience=0)), (amplified, HardwareOptions(**PEA))):
        assert theirs["twirling"]["enable_gates"] is options.twirls_gates is True
        assert theirs["twirling"]["enable_measure"] is True
        assert theirs["twirling"]["num_randomizations"] == options.twirls == 32


def test_the_noise_learner_is_told_how_to_learn() -> None:
    options = HardwareOptions(pec=True, learn_randomizations=4, learn_shots=16, learn_depths=(0, 2), rep_delay_us=50)
    theirs = learner_options(options, ["tag"], 77).model_dump()
    assert (theirs["num_randomizations"], theirs["shots_per_randomization"]) == (4, 16)
    assert (theirs["layer_pair_depths"], theirs["max_execution_time"]) == ([0, 2], 77)
    assert theirs["execution"]["rep_delay"] == pytest.approx(50e-6)
    assert theirs["environment"]["job_tags"] == ["tag"]
    usual = learner_options(HardwareOptions(pec=True), ["tag"], 77).model_dump()
    assert (usual["num_randomizations"], usual["shots_per_randomization"]) == (32, 128)
    assert usual["layer_pair_depths"] == [0, 1, 2, 4, 16, 32]


def test_options_of_one_job_do_not_leak_into_the_next() -> None:
    finalized(dynamical_decoupling="XX", twirl_gates=True)
    theirs = finalized(resilience=0)
    assert theirs["dynamical_decoupling"]["enable"] is False
    assert theirs["twirling"]["enable_gates"] is False
    assert theirs["twirling"]["num_randomizations"] == "auto"


@given(st.floats(0.005, 1), st.sampled_from([0, 1, 2]))
def test_a_precision_is_met_by_the_fewest_shots_that_fill_all_twirls(precision: float, resilience: int) -> None:
    options = HardwareOptions(precision=precision, resilience=resilience)
    needed = 1 / precision**2
    assert options.circuit_shots % options.twirls == 0
    assert needed - 1e-3 <= options.circuit_shots < needed + 1 + options.twirls


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shots": 0}, "shots = 0; at least 1"),
        ({"shots": 100}, "a multiple of 32, such as 96"),
        ({"shots": 100, "resilience": 0, "twirl_gates": True}, "a multiple of 32, such as 96"),
        ({"resilience": 3}, "resilience = 3; 0, 1 or 2"),
        ({"dynamical_decoupling": "YY"}, "dynamical decoupling = 'YY'; XX, XpXm, XY4"),
        ({"precision": 0.0}, "precision = 0; above 0 and at most 1"),
        ({"twirl_measure": False}, "mitigation of readout error needs twirled measurements"),
        ({"resilience": 0, "measure_mitigation": True, "twirl_measure": False}, "needs twirled measurements"),
        ({"fractional": True, "resilience": 2}, "fractional gates cannot be twirled, and at resilience 2 gates are"),
        ({"fractional": True, "twirl_gates": True}, "fractional gates cannot be twirled"),
        ({"fractional": True, "dynamical_decoupling": "XX"}, "and dynamical decoupling (XX) are not offered together"),
        ({"randomizations": 0}, "randomizations = 0; at least 1"),
        ({"randomizations": 48}, "shots = 4096 cannot be divided over 48 randomizations"),
        ({"randomizations": 64, "resilience": 0}, "randomizations = 64: nothing is twirled at resilience 0"),
        ({"twirl_strategy": "all"}, "twirl_strategy = all: gates are not twirled at resilience 1"),
        ({"twirl_strategy": "some", "resilience": 2}, "twirl_strategy = 'some'; active, active-accum"),
        ({"dd_schedule": "asap"}, "dd_schedule = asap: nothing is decoupled"),
        ({"zne_factors": (1.0, 2.0)}, "zne_factors: nothing is extrapolated at resilience 1; only at 2"),
        ({"zne_extrapolator": ("linear",), "resilience": 0}, "zne_extrapolator: nothing is extrapolated"),
        ({"zne_amplifier": "gate_folding_back"}, "zne_amplifier: nothing is extrapolated at resilience 1"),
        ({"zne_amplifier": "fold", "resilience": 2}, "zne_amplifier = 'fold'; gate_folding"),
        ({"zne_amplifier": "pea"}, "zne_amplifier: nothing is extrapolated at resilience 1"),
        ({"pec": True, "resilience": 2}, "pec: at resilience 2 noise is extrapolated, which excludes cancelling it"),
        ({"pec": True, "twirl_gates": False}, "pec needs twirled gates and measurements; leave twirl_gates out"),
        ({"pec": True, "resilience": 0, "twirl_measure": False}, "pec needs twirled gates and measurements"),
        ({**PEA, "twirl_gates": False}, "zne_amplifier = pea needs twirled gates and measurements"),
        ({"pec": True, "fractional": True}, "pec needs twirled gates, and fractional gates cannot be twirled"),
        ({**PEA, "dynamical_decoupling": "XX"}, "pea and dynamical decoupling (XX) are not offered together"),
        ({"pec": True, "shots": 100}, "a multiple of 32, such as 96"),
        ({"pec_overhead": 2.0}, "pec_overhead = 2: noise is not cancelled; only with pec"),
        ({"pec": True, "pec_overhead": 0.5}, "pec_overhead = 0.5; at least 1"),
        ({"learn_shots": 64}, "learn_shots: no noise is learned; only with pec or zne_amplifier = pea"),
        ({"pec": True, "learn_randomizations": 0}, "learn_randomizations = 0; at least 1"),
        ({**PEA, "learn_depths": (4,)}, "learn_depths = 4; at least two different whole numbers"),
        ({**PEA, "learn_depths": (4, 4)}, "learn_depths = 4/4; at least two different whole numbers"),
        ({"zne_amplifier": "pea", "resilience": 2, "fractional": True}, "fractional gates cannot be twirled"),
        ({"zne_factors": (1.0,), "resilience": 2}, "zne_factors = 1; at least two different numbers of at least 1"),
        ({"zne_factors": (0.5, 2.0), "resilience": 2}, "zne_factors = 0.5/2; at least two different"),
        ({"zne_factors": (2.0, 2.0), "resilience": 2}, "zne_factors = 2/2; at least two different"),
        ({"zne_extrapolator": ("cubic",), "resilience": 2}, "zne_extrapolator = cubic; exponential, linear"),
        ({"zne_extrapolator": ("double_exponential",), "resilience": 2}, "needs at least 4 noise factors; there are 3"),
    ],
)
def test_what_the_service_would_not_take_is_refused_in_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BackendError) as caught:
        HardwareOptions(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_are_plain_json() -> None:
    options = HardwareOptions(shots=64, dynamical_decoupling="XX", twirl_gates=False)
    assert HardwareOptions(**json.loads(json.dumps(options.as_dict()))) == options


def test_an_option_that_is_a_list_comes_back_from_json_as_it_was() -> None:
    options = HardwareOptions(resilience=2, zne_factors=(1.0, 2.0), zne_extrapolator=("linear",), randomizations=64)
    assert HardwareOptions(**json.loads(json.dumps(options.as_dict()))) == options
    assert options.as_dict().keys() >= {"zne_factors", "randomizations"}
    assert options.as_dict().keys().isdisjoint({"twirl_strategy", "dd_schedule", "zne_amplifier", "rep_delay_us"})


def test_a_name_has_lists_with_slashes() -> None:
    name = "ibm_boston:shots=640,resilience=2,randomizations=64,zne_factors=1.0/1.5/2,zne_extrapolator=linear/fallback"
    parsed = parse_name(name)
    assert parsed.canonical == name.replace("1.0/", "1/")
    assert parsed.options == HardwareOptions(
        shots=640, resilience=2, randomizations=64, zne_factors=(1, 1.5, 2), zne_extrapolator=("linear", "fallback")
    )


def test_a_name_says_how_noise_is_learned_and_cancelled() -> None:
    name = "ibm_boston:pec=on,pec_overhead=2.5,learn_randomizations=8,learn_shots=64,learn_depths=0/2/8"
    parsed = parse_name(name)
    assert parsed.canonical == name
    assert parsed.options == HardwareOptions(
        pec=True, pec_overhead=2.5, learn_randomizations=8, learn_shots=64, learn_depths=(0, 2, 8)
    )
    assert HardwareOptions(**json.loads(json.dumps(parsed.options.as_dict()))) == parsed.options
    assert parse_name("ibm_boston:resilience=2,zne_amplifier=pea").options == HardwareOptions(**PEA)


def test_a_backends_name_carries_them() -> None:
    parsed = parse_name("ibm_torino:copies=16,dd=XY4,mitigation=off,twirl_measure=off,twirl_gates=on,shots=64")
    assert parsed.canonical == ("ibm_torino:shots=64,dd=XY4,twirl_gates=on,twirl_measure=off,mitigation=off,copies=16")
    assert parsed.copies == 16
    assert parsed.options == HardwareOptions(
        shots=64, dynamical_decoupling="XY4", twirl_gates=True, twirl_measure=False, measure_mitigation=False
    )
    assert parse_name("ibm_torino:dd=none,precision=0.05").options == HardwareOptions(precision=0.05)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ibm_torino:dd=YX", "dd = YX; none, XX, XpXm or XY4"),
        ("ibm_torino:twirl_gates=yes", "twirl_gates = yes; on or off"),
        ("ibm_torino:copies=0", "copies = 0; at least 1"),
        ("ibm_torino:resilience=2,zne_factors=1/x", "zne_factors = 'x' is not a number"),
        ("ibm_torino:zne_factors=1/2", "zne_factors: nothing is extrapolated at resilience 1"),
        ("ibm_torino:dd=XX,dd_schedule=late", "dd_schedule = late; alap or asap"),
        ("ibm_torino:rep_delay=0.00025", "rep_delay = 0.00025 is in microseconds; 250 would be 0.00025 seconds"),
        ("ibm_torino:pec=yes", "pec = yes; on or off"),
        ("ibm_torino:pec=on,pec_overhead=0.5", "pec_overhead = 0.5; at least 1"),
        ("ibm_torino:pec=on,learn_depths=0/x", "learn_depths = 'x' is not a whole number"),
        ("ibm_torino:precision=2", "precision = 2; above 0 and at most 1"),
        ("ibm_torino:precision=0.1,shots=64", "shots and precision say the same"),
        ("ibm_torino:twirl_measure=off", "mitigation of readout error needs twirled measurements"),
    ],
)
def test_a_wrong_option_in_a_name_is_refused_in_one_sentence(name: str, said: str) -> None:
    with pytest.raises(BackendError) as caught:
        parse_name(name)
    assert said in str(caught.value)


def test_waits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDQ_WAITS", "poll=5, grace=60")
    waits = Waits.from_environment()
    assert (waits.poll, waits.grace, waits.cap) == (5, 60, Waits().cap)
    for wrong, said in [("pol=5", "there is no wait 'pol'"), ("poll=soon", "'poll=soon' is not name=seconds")]:
        monkeypatch.setenv("HYBRIDQ_WAITS", wrong)
        with pytest.raises(BackendError, match=said):
            Waits.from_environment()


def test_pauses_grow_to_a_cap_with_jitter_and_are_never_shorter_than_asked_for() -> None:
    waits = Waits(backoff=1, cap=60, jitter=0.2)
    pauses = [waits.after_trouble(tries, None) for tries in range(1, 12)]
    assert all(2.0 ** min(i, 5.95) * 0.93 <= pause <= 1.2 * min(60, 2**i) for i, pause in enumerate(pauses))
    assert waits.after_trouble(1, 90.0) == 90.0
    assert len({waits.between_looks() for _ in range(5)}) > 1

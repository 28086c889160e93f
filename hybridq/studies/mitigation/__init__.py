"""Error mitigation: what each method makes of ⟨Z⟩ and of the decisions, and what it costs."""

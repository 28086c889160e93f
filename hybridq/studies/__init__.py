"""Many runs from one file: which cells there are, running them, and what they say together."""

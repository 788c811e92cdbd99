"""The paper's arguments as experiments: each is one command that can be repeated and resumed."""

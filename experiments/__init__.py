"""The paper's claims as experiments: each is one command that can be repeated and resumed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

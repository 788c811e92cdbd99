"""Makes `python -m gradnet_tf` the same as the `gradnet` command."""

import sys

from gradnet_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

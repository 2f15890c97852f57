"""`trunkline`, also as `python -m trunkline_standalone`."""

from trunkline_standalone.cli import main

if __name__ == "__main__":
    main()

"""`python -m trunkline_worker --config FILE --worker NAME [--home DIR]`: one worker alone, on `listen.grpc`."""

from trunkline_worker.command import main

if __name__ == "__main__":
    main()

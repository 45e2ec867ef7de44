"""`python -m radretrieval` is `radretrieval`."""

from radretrieval.cli import main

if __name__ == "__main__":
    main()

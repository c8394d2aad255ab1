"""``python -m lakeflow_meta``."""

from lakeflow_meta.cli.main import main

if __name__ == "__main__":
    main()

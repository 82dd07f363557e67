# Made by `undercroft deploy render terraform-aws`: change [deploy] in undercroft.toml and render again.
"""`python manage.py migrate` in a container: any command of undercroft, under the name that people look for."""

import sys

from undercroft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

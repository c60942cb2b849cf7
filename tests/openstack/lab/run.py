#!/usr/bin/python3
"""run.py MODULE PROGRAM ARGUMENTS...: what Debian's /usr/bin/PROGRAM does, without the package that brings it."""
import importlib
import sys

module, *sys.argv = sys.argv[1:]
sys.exit(importlib.import_module(module).main())

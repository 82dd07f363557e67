"""The vector stores undercroft knows; `assembly` picks one."""

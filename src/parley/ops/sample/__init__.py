"""A made-up society for trying and measuring, as lopsided as real ones."""

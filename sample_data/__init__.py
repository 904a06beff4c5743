"""Small files that lessons and the first start use; README.md says where they are from."""

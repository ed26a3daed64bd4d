"""Photos that look alike and are not: does the verdict of the alignment tell them apart?"""

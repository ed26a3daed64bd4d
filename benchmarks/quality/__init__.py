"""Compare methods on rendered sequences: how close to the label is what each makes of T frames?"""

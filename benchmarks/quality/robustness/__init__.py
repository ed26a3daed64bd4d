"""Degrade photos step by step, one factor at a time: where does which method break?"""

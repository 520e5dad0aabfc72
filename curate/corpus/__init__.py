"""Question 1: how many tokens do I really have?"""

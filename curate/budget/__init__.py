"""Question 2: is the data enough for my model?"""

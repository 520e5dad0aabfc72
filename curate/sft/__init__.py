"""Question 3: which few examples should I fine-tune on?"""

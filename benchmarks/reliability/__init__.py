"""Promises carried out on the fluid plant: are they kept as often as stated?"""

"""Decides which quantity a figure states from its unit, its neighbours and the nearest decisive words of its sentence."""

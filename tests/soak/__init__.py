"""Kills, planted faults, fuzzing: make reliability and make fuzz."""

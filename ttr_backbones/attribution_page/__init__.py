"""Answers of a vision-language model without and with a register, as numbers and a page."""

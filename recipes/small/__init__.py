"""Small recipes with generated data: each is a file of examples made by a rule, a model trained on them, and a judge that knows
the rule. `python -m recipes.small NAME -o FOLDER` does all three; the YAML beside a recipe trains on the same files alone."""

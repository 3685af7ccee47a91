"""Update rules of lanes."""

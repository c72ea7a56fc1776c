"""Pictures of what models answer; the visualizers bring them into mmseg's visualization hook."""

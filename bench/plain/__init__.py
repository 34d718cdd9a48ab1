"""The reference: what one writes first with Django REST framework, over the same tables."""

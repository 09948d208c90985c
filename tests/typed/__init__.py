"""Programs of users, as their type checkers see them."""

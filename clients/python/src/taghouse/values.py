"""Values of tags, as the API gives and takes them."""

#: A number that is not whole, a day and an instant are texts, so that no digit is lost; a set is a list.
Value = bool | int | str | list[str]

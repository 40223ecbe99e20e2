//! Says whether a recorded history of operations is one that the contract allows, and shows the shortest part of it that is not.

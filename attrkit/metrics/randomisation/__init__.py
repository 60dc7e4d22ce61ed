"""What explanations owe to what was learned: parameters drawn anew, labels shuffled."""

"""What every lesson stands on: pictures, networks, steps, descent. Nothing in here imports what lies outside."""

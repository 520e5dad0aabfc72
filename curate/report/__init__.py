"""What people see: console, progress, dataset card."""

"""An estimate to hand on: the figures of a page, and the step as events on a line of time."""

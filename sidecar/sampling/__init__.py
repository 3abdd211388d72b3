"""From rules and observed load to thresholds: pure functions, and the state that controllers carry on."""

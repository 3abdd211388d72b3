"""What breaks around the gateway and in it, under load: nothing acknowledged is lost, and all of it accounted for."""

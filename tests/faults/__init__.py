"""What breaks around the gateway and in it, under load: nothing acknowledged is lost, and everything is accounted for."""

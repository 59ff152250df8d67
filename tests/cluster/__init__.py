"""tcnat against API servers: a stand-in that does what a real one seldom does, and a real one."""

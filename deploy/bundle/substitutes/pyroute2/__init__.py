"""In the bundle: the package without importing every protocol that it knows; :mod:`tcnat.codecs` needs two."""

"""How fast Layerscope is beside the programs that people train with: same networks, same machine, in turn."""

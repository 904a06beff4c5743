"""The core of Layerscope: everything that is true without a screen."""

if __name__ != "layerscope.core":
    # Started from the project's folder, `import core` would make a second copy of every module.
    raise ImportError("import layerscope.core, not core")

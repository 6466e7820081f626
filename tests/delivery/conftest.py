from tests.shop import any_shop, shop  # noqa: F401  (fixtures)

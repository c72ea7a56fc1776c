import pytest
from mmengine.registry import VISBACKENDS, DefaultScope

from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.errors import InputError


def test_a_name_of_another_scope_is_not_called_unknown():
    """As in a config without default_scope, to which this project adds its own classes."""
    with (
        DefaultScope.overwrite_default_scope("mmengine"),
        pytest.raises(InputError, match="default_scope = 'mmseg'"),
        clear_config_errors(),
    ):
        VISBACKENDS.build({"type": "SafeVisBackend"})

from pathlib import Path
from tempfile import mkdtemp

from coindesk.desk import Desk

from mtquant.testing import BrokerContract


class TestDesk(BrokerContract):
    def broker(self):
        return Desk("test", Path(mkdtemp()))

"""The application: undercroft's routes, and those of this project."""

from api.routes import router
from undercroft import create_app

app = create_app(routes=router.routes)

"""What a site can promise: the largest kW that it keeps with a stated confidence, and its cost."""

from ebplan.offers.door import Asked, load_request
from ebplan.offers.make import offer
from ebplan.offers.offer_document import Offer, OfferPoint
from ebplan.offers.request import OfferRequest

__all__ = ["Asked", "Offer", "OfferPoint", "OfferRequest", "load_request", "offer"]

"""Limits that FFmpeg itself checks, before it takes memory or opens another file."""

from dataclasses import dataclass

MAX_PIXELS = 2**27  # of one frame: 16K video has 2**27 pixels

# Demuxers that read the one file they are given. Those that open further files or addresses are missing: concat, hls,
# dash, imf, sdp. A name stands as in FFmpeg's own list, where one demuxer may have several.
FILE_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,mxf,nut,dv,wtv,rm,gif,ivf,obu,h264,"
    "hevc,m4v,mjpeg"
)


@dataclass(frozen=True)
class DecodeLimits:
    """What may be opened and decoded. The decoders refuse a frame above `max_pixels`, whatever the header promised."""

    max_pixels: int = MAX_PIXELS
    demuxers: str | None = None  # FFmpeg's names with commas; None: all of them
    decoders: str | None = None  # likewise
    transport: str | None = None  # of RTSP: tcp or udp
    timeout: float | None = None  # seconds that opening, and each read, may take; None: as long as it likes

    def for_container(self) -> dict[str, str]:
        """Return options of `av.open`, which also hold while FFmpeg looks for the streams."""
        options = self.for_decoder()
        if self.demuxers is not None:
            options["format_whitelist"] = self.demuxers
        if self.transport is not None:
            options["rtsp_transport"] = self.transport
        return options

    def for_decoder(self) -> dict[str, str]:
        """Return options of one codec context."""
        options = {"max_pixels": str(self.max_pixels)}
        if self.decoders is not None:
            options["codec_whitelist"] = self.decoders
        return options


OF_FILES = DecodeLimits(demuxers=FILE_DEMUXERS)  # that the user names
OF_STREAMS = DecodeLimits()  # of the network, which may be playlists

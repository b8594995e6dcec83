/* What lives here: the table of transfer syntaxes. PS3.6 table A-1, PS3.5 A.1 to A.4 and A.8 to A.10, the rows retired
 * since, and two of vendors that stand in old archives. What is done with one lives elsewhere (reader, pixel decoders,
 * association acceptor); this file only says what each is.
 *
 * Codes are permanent: rows are appended, whatever their place in the standard. Lossless stands for a process that
 * keeps every sample; one that leaves the choice to the encoder (JPEG 2000, JPEG XL) counts as lossy.
 */
#include "codecs/dicom/syntax.h"

#include <string.h>

/* Orders of preference: what every receiver can read comes first, what needs a codec later, what lost something last
 * (design section 8). What carries no data set of its own (video flows, MIME, XML) is never preferred. */
enum {
    PREFER_EXPLICIT = 10,
    PREFER_IMPLICIT = 20,
    PREFER_DEFLATED = 30,
    PREFER_BIG_ENDIAN = 40,
    PREFER_LOSSLESS = 50,
    PREFER_LOSSY = 100,
    PREFER_REFERENCED = 200,
    PREFER_NEVER = 250,
};

#define NATIVE(code, uid, name, implicit, big, preference)                                                             \
    {                                                                                                                  \
        code, uid, name, implicit, big, false, false, false, preference                                                \
    }
#define DEFLATED(code, uid, name, lossy, preference)                                                                   \
    {                                                                                                                  \
        code, uid, name, false, false, true, false, lossy, preference                                                  \
    }
#define LOSSLESS(code, uid, name, place)                                                                               \
    {                                                                                                                  \
        code, uid, name, false, false, false, true, false, PREFER_LOSSLESS + (place)                                   \
    }
#define LOSSY(code, uid, name, place)                                                                                  \
    {                                                                                                                  \
        code, uid, name, false, false, false, true, true, PREFER_LOSSY + (place)                                       \
    }
#define PS3 "1.2.840.10008.1.2"

static const struct syntax rows[] = {
    NATIVE(0, "", "unknown", false, false, 255),
    NATIVE(1, PS3, "Implicit VR Little Endian", true, false, PREFER_IMPLICIT),
    NATIVE(2, PS3 ".1", "Explicit VR Little Endian", false, false, PREFER_EXPLICIT),
    NATIVE(3, PS3 ".2", "Explicit VR Big Endian", false, true, PREFER_BIG_ENDIAN),
    DEFLATED(4, PS3 ".1.99", "Deflated Explicit VR Little Endian", false, PREFER_DEFLATED),
    LOSSLESS(5, PS3 ".1.98", "Encapsulated Uncompressed Explicit VR Little Endian", 0),
    LOSSLESS(6, PS3 ".8.1", "Deflated Image Frame Compression", 1),
    LOSSLESS(7, PS3 ".5", "RLE Lossless", 2),
    LOSSY(8, PS3 ".4.50", "JPEG Baseline 8-bit", 0),
    LOSSY(9, PS3 ".4.51", "JPEG Extended 12-bit", 1),
    LOSSY(10, PS3 ".4.52", "JPEG Extended 3+5", 20),
    LOSSY(11, PS3 ".4.53", "JPEG Spectral Selection 6+8", 21),
    LOSSY(12, PS3 ".4.54", "JPEG Spectral Selection 7+9", 22),
    LOSSY(13, PS3 ".4.55", "JPEG Full Progression 10+12", 23),
    LOSSY(14, PS3 ".4.56", "JPEG Full Progression 11+13", 24),
    LOSSLESS(15, PS3 ".4.57", "JPEG Lossless", 4),
    LOSSLESS(16, PS3 ".4.58", "JPEG Lossless 15", 20),
    LOSSY(17, PS3 ".4.59", "JPEG Extended Hierarchical 16+18", 25),
    LOSSY(18, PS3 ".4.60", "JPEG Extended Hierarchical 17+19", 26),
    LOSSY(19, PS3 ".4.61", "JPEG Spectral Selection Hierarchical 20+22", 27),
    LOSSY(20, PS3 ".4.62", "JPEG Spectral Selection Hierarchical 21+23", 28),
    LOSSY(21, PS3 ".4.63", "JPEG Full Progression Hierarchical 24+26", 29),
    LOSSY(22, PS3 ".4.64", "JPEG Full Progression Hierarchical 25+27", 30),
    LOSSLESS(23, PS3 ".4.65", "JPEG Lossless Hierarchical 28", 21),
    LOSSLESS(24, PS3 ".4.66", "JPEG Lossless Hierarchical 29", 22),
    LOSSLESS(25, PS3 ".4.70", "JPEG Lossless SV1", 3),
    LOSSLESS(26, PS3 ".4.80", "JPEG-LS Lossless", 5),
    LOSSY(27, PS3 ".4.81", "JPEG-LS Near-Lossless", 2),
    LOSSLESS(28, PS3 ".4.90", "JPEG 2000 Lossless", 6),
    LOSSY(29, PS3 ".4.91", "JPEG 2000", 3),
    LOSSLESS(30, PS3 ".4.92", "JPEG 2000 Multi-component Lossless", 10),
    LOSSY(31, PS3 ".4.93", "JPEG 2000 Multi-component", 6),
    NATIVE(32, PS3 ".4.94", "JPIP Referenced", false, false, PREFER_REFERENCED),
    DEFLATED(33, PS3 ".4.95", "JPIP Referenced Deflate", true, PREFER_REFERENCED + 1),
    LOSSY(34, PS3 ".4.100", "MPEG2 Main Profile Main Level", 40),
    LOSSY(35, PS3 ".4.100.1", "Fragmentable MPEG2 Main Profile Main Level", 41),
    LOSSY(36, PS3 ".4.101", "MPEG2 Main Profile High Level", 42),
    LOSSY(37, PS3 ".4.101.1", "Fragmentable MPEG2 Main Profile High Level", 43),
    LOSSY(38, PS3 ".4.102", "MPEG-4 High Profile 4.1", 44),
    LOSSY(39, PS3 ".4.102.1", "Fragmentable MPEG-4 High Profile 4.1", 45),
    LOSSY(40, PS3 ".4.103", "MPEG-4 BD-compatible High Profile 4.1", 46),
    LOSSY(41, PS3 ".4.103.1", "Fragmentable MPEG-4 BD-compatible High Profile 4.1", 47),
    LOSSY(42, PS3 ".4.104", "MPEG-4 High Profile 4.2 2D", 48),
    LOSSY(43, PS3 ".4.104.1", "Fragmentable MPEG-4 High Profile 4.2 2D", 49),
    LOSSY(44, PS3 ".4.105", "MPEG-4 High Profile 4.2 3D", 50),
    LOSSY(45, PS3 ".4.105.1", "Fragmentable MPEG-4 High Profile 4.2 3D", 51),
    LOSSY(46, PS3 ".4.106", "MPEG-4 Stereo High Profile 4.2", 52),
    LOSSY(47, PS3 ".4.106.1", "Fragmentable MPEG-4 Stereo High Profile 4.2", 53),
    LOSSY(48, PS3 ".4.107", "HEVC Main Profile 5.1", 54),
    LOSSY(49, PS3 ".4.108", "HEVC Main 10 Profile 5.1", 55),
    LOSSLESS(50, PS3 ".4.110", "JPEG XL Lossless", 9),
    LOSSY(51, PS3 ".4.111", "JPEG XL JPEG Recompression", 5),
    LOSSY(52, PS3 ".4.112", "JPEG XL", 7),
    LOSSLESS(53, PS3 ".4.201", "HTJ2K Lossless", 7),
    LOSSLESS(54, PS3 ".4.202", "HTJ2K Lossless RPCL", 8),
    LOSSY(55, PS3 ".4.203", "HTJ2K", 4),
    NATIVE(56, PS3 ".4.204", "JPIP HTJ2K Referenced", false, false, PREFER_REFERENCED + 2),
    DEFLATED(57, PS3 ".4.205", "JPIP HTJ2K Referenced Deflate", true, PREFER_REFERENCED + 3),
    NATIVE(58, PS3 ".6.1", "RFC 2557 MIME Encapsulation", false, false, PREFER_NEVER),
    NATIVE(59, PS3 ".6.2", "XML Encoding", false, false, PREFER_NEVER + 1),
    NATIVE(60, PS3 ".7.1", "SMPTE ST 2110-20 Progressive Video", false, false, PREFER_NEVER + 2),
    NATIVE(61, PS3 ".7.2", "SMPTE ST 2110-20 Interlaced Video", false, false, PREFER_NEVER + 3),
    NATIVE(62, PS3 ".7.3", "SMPTE ST 2110-30 PCM Audio", false, false, PREFER_NEVER + 4),
    /* Implicit VR, all numbers little endian but the samples of Pixel Data. */
    NATIVE(63, "1.2.840.113619.5.2", "GE Private Implicit VR Big Endian", true, false, PREFER_IMPLICIT + 2),
    NATIVE(64, "1.2.840.10008.1.20", "Papyrus 3 Implicit VR Little Endian", true, false, PREFER_IMPLICIT + 1),
};

#define ROWS (sizeof rows / sizeof rows[0])

const struct syntax *syntax_table(size_t *count)
{
    *count = ROWS;
    return rows;
}

const struct syntax *syntax_by_uid(const char *uid)
{
    size_t length = strlen(uid);
    while (length && uid[length - 1] == ' ')
        length--;
    for (size_t i = 1; i < ROWS; i++) {
        if (strlen(rows[i].uid) == length && memcmp(rows[i].uid, uid, length) == 0)
            return &rows[i];
    }
    return &rows[0];
}

const struct syntax *syntax_by_code(uint8_t code)
{
    /* Row n has code n; the unit test holds the table to it. */
    return &rows[code < ROWS ? code : 0];
}

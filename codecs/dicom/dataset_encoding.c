/* What lives here: how the header of an element is encoded: the forms of explicit VRs, and what the first bytes of a
 * data set say about its encoding, whatever was claimed.
 */
#include "codecs/dicom/dataset_internal.h"

#include <string.h>

#define VR(a, b) [((a) - 'A') * 26 + ((b) - 'A')]
static const uint8_t vr_forms[26 * 26] = {
    VR('A', 'E') = VR_SHORT, VR('A', 'S') = VR_SHORT, VR('A', 'T') = VR_SHORT, VR('C', 'S') = VR_SHORT,
    VR('D', 'A') = VR_SHORT, VR('D', 'S') = VR_SHORT, VR('D', 'T') = VR_SHORT, VR('F', 'D') = VR_SHORT,
    VR('F', 'L') = VR_SHORT, VR('I', 'S') = VR_SHORT, VR('L', 'O') = VR_SHORT, VR('L', 'T') = VR_SHORT,
    VR('P', 'N') = VR_SHORT, VR('S', 'H') = VR_SHORT, VR('S', 'L') = VR_SHORT, VR('S', 'S') = VR_SHORT,
    VR('S', 'T') = VR_SHORT, VR('T', 'M') = VR_SHORT, VR('U', 'I') = VR_SHORT, VR('U', 'L') = VR_SHORT,
    VR('U', 'S') = VR_SHORT, VR('O', 'B') = VR_LONG,  VR('O', 'D') = VR_LONG,  VR('O', 'F') = VR_LONG,
    VR('O', 'L') = VR_LONG,  VR('O', 'V') = VR_LONG,  VR('O', 'W') = VR_LONG,  VR('S', 'Q') = VR_LONG,
    VR('S', 'V') = VR_LONG,  VR('U', 'C') = VR_LONG,  VR('U', 'N') = VR_LONG,  VR('U', 'R') = VR_LONG,
    VR('U', 'T') = VR_LONG,  VR('U', 'V') = VR_LONG,
};
#undef VR

static bool is_letter(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

bool vr_is_letters(const uint8_t *vr)
{
    return is_letter(vr[0]) && is_letter(vr[1]);
}

enum vr_form vr_form(const uint8_t *vr)
{
    return vr_is_letters(vr) ? vr_forms[(vr[0] - 'A') * 26 + (vr[1] - 'A')] : VR_UNKNOWN;
}

bool vr_is_bulk(const char *vr)
{
    return vr[0] == 'O' && vr[1] && strchr("BDFLVW", vr[1]);
}

bool vr_is_certain(const uint8_t *p, uint32_t tag)
{
    return vr_form(p + 4) != VR_UNKNOWN && (p[4] & 1 || strncmp(dictionary_vr(tag), (const char *)p + 4, 2) == 0);
}

static bool is_known(uint32_t tag)
{
    if ((tag & 0xFFFF) == 0)
        return tag >> 16 > 0 && tag >> 16 < 0x100;
    return strcmp(dictionary_vr(tag), "UN") != 0;
}

bool dataset_detect(const uint8_t *first, bool *implicit, bool *big_endian)
{
    uint32_t tag = tag_at(first, *big_endian), swapped = tag_at(first, !*big_endian);
    if (!is_known(tag) && is_known(swapped)) {
        *big_endian = !*big_endian;
        tag = swapped;
    }
    bool known = is_known(tag) || (tag >> 16) % 2;
    if (vr_is_certain(first, tag)) {
        *implicit = false;
        return known;
    }
    if (*implicit || vr_is_letters(first + 4))
        return known;
    uint32_t length = *big_endian ? get_u32be(first + 4) : get_u32(first + 4);
    if (!known || (length > INT32_MAX && length != UINT32_MAX))
        return false;
    *implicit = true;
    return true;
}

// SPDX-License-Identifier: MIT
// The checksum of journal lines: CRC-32C (Castagnoli), reflected, as iSCSI has it (RFC 3720 §12.1).
#pragma once

#include <cstdint>
#include <string_view>

namespace relay {

uint32_t Crc32c(std::string_view bytes);

}  // namespace relay
